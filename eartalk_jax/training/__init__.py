"""From a loss to a trained state: step, loop, mesh, guards."""
