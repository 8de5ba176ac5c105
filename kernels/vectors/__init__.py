"""Which instructions the processor has, and LLVM vectors as types of compiled code. Below all other rooms here."""
