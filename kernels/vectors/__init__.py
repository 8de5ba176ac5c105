"""Which instructions the processor has, and LLVM vectors as types of compiled code. Below all other rooms here.

From outside: `target` (the variant in use, and where compiled code is kept).
"""
