"""Which instructions the processor has, and LLVM vectors as types of compiled code. Below every other room of the floor."""
