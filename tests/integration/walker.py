"""A service that says of each step that it was walked: `python -m tests.integration.walker`."""

from saga import Event, Retry, Service
from saga.cli.run import run


class Stepped(Event, topic="steps-in", type="walk.stepped", key="walker"):
    walker: str
    number: int
    stumbles: bool = False


class Walked(Event, topic="steps-out", type="walk.walked", key="walker"):
    walker: str
    number: int


walker = Service("walker", publishes=[Stepped])
_stumbled: set[tuple[str, int]] = set()


@walker.on(Stepped, retry=Retry(attempts=3, delays=["20ms"], order="kept"))
async def walk(step: Stepped) -> Walked:
    place = step.walker, step.number
    if step.stumbles and place not in _stumbled:
        _stumbled.add(place)
        raise RuntimeError("stumbled")
    return Walked(walker=step.walker, number=step.number)


if __name__ == "__main__":
    run(walker)
