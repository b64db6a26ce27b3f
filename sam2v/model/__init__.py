"""The network: image encoder, prompt encoder, mask decoder, memory encoder and memory attention, as pure tensor
functions."""
