"""From a loss to a trained state: step, loop, optimizer, mesh, guards."""
