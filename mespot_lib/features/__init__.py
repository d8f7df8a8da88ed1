"""Per-frame features: local contrast, flow, strain, region motion, and their cache."""
