/** Cards of what computes: processor, memory, load, pressure; must fetch nothing. */
import type { HostSnapshot } from "#shared/api/monitor.ts"
import { Bar, Card } from "../../components/Card.tsx"
import { bytes, decimal, percent, unknown } from "../../format.ts"
import type { Window } from "../../useHost.ts"
import { WindowChart } from "./WindowChart.tsx"

export interface CardData {
  readonly snapshot: HostSnapshot
  /** Undefined while history is being loaded. */
  readonly window: Window | undefined
}

/** Beyond this many cores only bars are shown, the numbers on hover. */
const manyCores = 16

const Cores = ({ cores }: Pick<HostSnapshot["cpu"], "cores">) => (
  <ul class={cores.length > manyCores ? "cores cores-many" : "cores"} aria-label="Processor cores">
    {cores.map(({ cpu, usedPercent }) => (
      <li key={cpu} title={`Core ${cpu}: ${percent(usedPercent)}`}>
        <span class="core-name">Core {cpu}</span>
        <Bar label={`Core ${cpu}`} percent={usedPercent} />
        <span class="core-value">{percent(usedPercent, 0)}</span>
      </li>
    ))}
  </ul>
)

export const CpuCard = ({ snapshot: { cpu, sections }, window }: CardData) => (
  <Card
    title="CPU"
    class="card-wide"
    value={percent(cpu.usedPercent)}
    note={`user ${percent(cpu.userPercent)} · system ${percent(cpu.systemPercent)}`}
    status={sections["cpu"]}
  >
    <WindowChart
      name="CPU"
      unit="percent"
      floor={40}
      window={window}
      keys={["cpu.used_percent", "cpu.iowait_percent", "cpu.steal_percent"]}
      now={[cpu.usedPercent, cpu.iowaitPercent, cpu.stealPercent]}
      series={[
        { label: "used", color: 1, area: true },
        { label: "I/O wait", color: 2, line: "dashed" },
        { label: "steal", color: 4, line: "dotted" }
      ]}
    />
    <Cores cores={cpu.cores} />
  </Card>
)

export const MemoryCard = ({ snapshot: { memory, sections }, window }: CardData) => (
  <Card
    title="Memory"
    value={percent(memory.usedPercent)}
    note={`${bytes(memory.availableBytes)} of ${bytes(memory.totalBytes)} available`}
    status={sections["memory"]}
  >
    <WindowChart
      name="Memory"
      unit="percent"
      floor={100}
      window={window}
      keys={["memory.used_percent", "memory.swap_used_percent"]}
      now={[memory.usedPercent, memory.swapUsedPercent]}
      series={[
        { label: "used", color: 3, area: true },
        { label: "swap", color: 5, line: "dashed" }
      ]}
    />
    <dl class="facts">
      <div>
        <dt>Swap</dt>
        <dd>
          {memory.swapTotalBytes === 0 ? "none" : `${bytes(memory.swapUsedBytes)} of ${bytes(memory.swapTotalBytes)}`}
        </dd>
      </div>
    </dl>
  </Card>
)

export const LoadCard = ({ snapshot: { load, sections }, window }: CardData) => (
  <Card
    title="Load"
    value={decimal(load.load1)}
    note={load.load1PerCore === null ? unknown : `${decimal(load.load1PerCore)} per core`}
    status={sections["load"]}
  >
    <WindowChart
      name="Load"
      unit="load"
      window={window}
      keys={["load.load1"]}
      now={[load.load1]}
      series={[{ label: "1 minute", color: 1, area: true }]}
    />
    <dl class="facts">
      <div>
        <dt>5 min</dt>
        <dd>{decimal(load.load5)}</dd>
      </div>
      <div>
        <dt>15 min</dt>
        <dd>{decimal(load.load15)}</dd>
      </div>
    </dl>
  </Card>
)

/** The highest of the three, because any one of them slows the host. */
const worst = ({ cpuSome, ioSome, memorySome }: HostSnapshot["pressure"]): number | null =>
  [cpuSome, memorySome, ioSome].reduce<number | null>(
    (top, { percent: value }) => (value !== null && value > (top ?? -1) ? value : top),
    null
  )

export const PressureCard = ({ snapshot: { pressure, sections }, window }: CardData) => (
  <Card title="Pressure" value={percent(worst(pressure))} note="share of time tasks wait" status={sections["pressure"]}>
    <WindowChart
      name="Pressure"
      unit="percent"
      floor={4}
      window={window}
      keys={["pressure.cpu_some_percent", "pressure.memory_some_percent", "pressure.io_some_percent"]}
      now={[pressure.cpuSome.percent, pressure.memorySome.percent, pressure.ioSome.percent]}
      series={[
        { label: "CPU", color: 1 },
        { label: "memory", color: 3, line: "dashed" },
        { label: "I/O", color: 2, line: "dotted" }
      ]}
    />
    <dl class="facts">
      <div>
        <dt>Stalled, memory</dt>
        <dd>{percent(pressure.memoryFull.percent)}</dd>
      </div>
      <div>
        <dt>Stalled, I/O</dt>
        <dd>{percent(pressure.ioFull.percent)}</dd>
      </div>
    </dl>
  </Card>
)
