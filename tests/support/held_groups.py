"""What torchrun starts in a test: processes that end while a spread module, and so its process group, has a name."""

import sys

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from llm.base.joining import ends_with, together

with together() as own:
    mesh = init_device_mesh("cpu", (own.world,))
    module = torch.nn.Linear(own.world * 4, 8)
    fully_shard(module, mesh=mesh)
    for _ in range(5):
        module(torch.ones(3, own.world * 4)).sum().backward()
    total = torch.ones(1)
    distributed.all_reduce(total)
    print(f"sum {total.item():g}")
if len(sys.argv) > 1:
    ends_with(int(sys.argv[1]))
