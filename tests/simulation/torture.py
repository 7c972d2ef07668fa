"""Every waiter of a scenario, cancelled at every pass of the scheduler, one at a time: curl calls such tests torture."""

import attrs

from tests.simulation.hunt import replay_command
from tests.simulation.life import live

_FEW = {"cancel_rate": 0.0, "closes_at": None, "body_fails": False, "spread": 0.0, "limit": 3}


@attrs.frozen
class Strike:
    """One cancellation: of whom, at which pass, and whether by asyncio itself."""

    victim: int
    at: int
    is_native: bool

    def fall(self, callers):
        """Cancel the victim, if it is there to be cancelled."""
        caller = callers[self.victim]
        if caller.scope is not None and not caller.has_ended:
            caller.cancel(self.is_native)


def options_of(number):
    """Return the seed of a scenario, and what is not drawn in it: few callers, most of them in a calm world."""
    calm = {"is_calm": True, "fault_rate": 0.0, "budget": 30.0, "write_budget": 60.0, "slowest": 0.02}
    options = {**_FEW, "callers": 2 + number % 4, "max_in_flight": 1 + number % 2, "wire": "transport"}
    return number, options | (calm if number % 3 else {"wire": "network" if number % 2 else "transport"})


def torture_scenario(backend, number):
    """Return in how many runs a scenario was played, and what was wrong in them."""
    seed, options = options_of(number)
    untouched = live(backend, seed, **options)
    wrong = [f"{replay_command(backend, seed)}: {message}" for message in untouched.violations]
    runs = 1
    natives = (False, True) if backend == "asyncio" else (False,)
    for victim in range(len(untouched.callers) - 1):
        for at in range(1, untouched.storm_passes + 1):
            for is_native in natives:
                strike = Strike(victim, at, is_native)
                life = live(backend, seed, strike=strike, **options)
                runs += 1
                wrong += [f"scenario {number} on {backend}, {strike}: {message}" for message in life.violations]
    return runs, wrong
