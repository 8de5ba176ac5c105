"""The scan of a proving pass: AES over every label, with the instructions of x86 or Arm, or bit-sliced.

From outside: `aes` (the scanner), `scalar` (one block in plain integers).
"""
