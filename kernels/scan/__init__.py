"""The scan of a proving pass: AES over every label, with the processor's instructions or bit-sliced."""
