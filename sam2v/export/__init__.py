"""The network's calls as files that run without it: ONNX graphs, programs of torch.export."""
