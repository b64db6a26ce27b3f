"""Building blocks of the network: attention, rotary positions, position codes and small layers."""
