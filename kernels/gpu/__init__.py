"""PoST labels on graphics cards: one kernel source, its layouts and plans, and the engines of OpenCL and CUDA."""
