"""Claims of EM-DPO and MinMax-DPO (Chidambaram, Seetharaman, Syrgkanis, arXiv 2405.15065)."""
