"""Maps: what networks paint and decoders read. Tensors in, tensors out, batched, on any device."""
