/** Cards of what carries data: filesystems, disks, network; must fetch nothing. */
import type { ComponentChildren } from "preact"
import { useState } from "preact/hooks"
import { Bar, Card } from "../../components/Card.tsx"
import type { ChartSeries } from "../../components/chartOptions.ts"
import { bytes, bytesPerSecond, decimal, milliseconds, percent, unknown } from "../../format.ts"
import { seriesKey } from "../../series.ts"
import type { Range } from "../../useHost.ts"
import type { CardData } from "./Compute.tsx"
import { filesystemLevel, levelWords } from "./levels.ts"
import { WindowChart } from "./WindowChart.tsx"

interface DeviceTableProps {
  readonly what: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<{
    readonly device: string
    readonly note?: string
    readonly cells: ReadonlyArray<string>
  }>
  readonly selected: string | undefined
  readonly onSelect: (device: string) => void
}

/** A row per device; the chart above shows the one that is pressed. */
const DeviceTable = ({ columns, onSelect, rows, selected, what }: DeviceTableProps): ComponentChildren => (
  <div class="devices">
    <table>
      <caption class="visually-hidden">{what}</caption>
      <thead>
        <tr>
          <th scope="col">Device</th>
          {columns.map((column) => (
            <th scope="col" key={column}>
              {column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ cells, device, note }) => (
          <tr key={device}>
            <th scope="row">
              <button type="button" class="device" aria-pressed={device === selected} onClick={() => onSelect(device)}>
                {device}
                {note === undefined ? null : <small> {note}</small>}
              </button>
            </th>
            {cells.map((cell, index) => (
              <td key={columns[index]}>{cell}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  </div>
)

/** The chosen device while it exists, else the busiest at first sight. */
const useDevice = <A extends { readonly device: string }>(
  devices: ReadonlyArray<A>,
  traffic: (device: A) => number
) => {
  const [chosen, choose] = useState<string>()
  const [fallback] = useState(() => devices.toSorted((a, b) => traffic(b) - traffic(a))[0]?.device)
  const name = [chosen, fallback].find((wanted) => devices.some(({ device }) => device === wanted))
  const selected = devices.find(({ device }) => device === name) ?? devices[0]
  return [selected, choose] as const
}

export const NetworkCard = ({ snapshot: { network, sections }, window }: CardData) => {
  const [shown, choose] = useDevice(network, (device) => {
    if (device.up === false) return -2
    if (device.device === "lo") return -1
    return (device.receiveBytesPerSecond ?? 0) + (device.transmitBytesPerSecond ?? 0)
  })
  return (
    <Card title="Network" note={shown?.device} status={sections["network"]}>
      <WindowChart
        name={`Network ${shown?.device ?? ""}`}
        unit="bytes/s"
        window={window}
        keys={["network.receive_bytes_per_second", "network.transmit_bytes_per_second"].map((metric) =>
          seriesKey(metric, shown?.device ?? "")
        )}
        now={[shown?.receiveBytesPerSecond ?? null, shown?.transmitBytesPerSecond ?? null]}
        series={[
          { label: "received", color: 3, area: true },
          { label: "sent", color: 1, line: "dashed" }
        ]}
      />
      <DeviceTable
        what="Network devices"
        columns={["Received", "Sent", "Faults/s"]}
        selected={shown?.device}
        onSelect={choose}
        rows={network
          .toSorted((a, b) => Number(a.up === false) - Number(b.up === false))
          .map((device) => ({
            device: device.device,
            ...(device.up === false ? { note: "down" } : {}),
            cells: [
              bytesPerSecond(device.receiveBytesPerSecond),
              bytesPerSecond(device.transmitBytesPerSecond),
              device.errorsPerSecond === null || device.dropsPerSecond === null
                ? unknown
                : decimal(device.errorsPerSecond + device.dropsPerSecond, 1)
            ]
          }))}
      />
    </Card>
  )
}

export const DiskCard = ({ snapshot: { disks, sections }, window }: CardData) => {
  const [shown, choose] = useDevice(disks, (d) => (d.readBytesPerSecond ?? 0) + (d.writtenBytesPerSecond ?? 0))
  return (
    <Card title="Disks" note={shown?.device} status={sections["disks"]}>
      <WindowChart
        name={`Disk ${shown?.device ?? ""}`}
        unit="bytes/s"
        window={window}
        keys={["disk.read_bytes_per_second", "disk.written_bytes_per_second"].map((metric) =>
          seriesKey(metric, shown?.device ?? "")
        )}
        now={[shown?.readBytesPerSecond ?? null, shown?.writtenBytesPerSecond ?? null]}
        series={[
          { label: "read", color: 3, area: true },
          { label: "written", color: 2, line: "dashed" }
        ]}
      />
      <DeviceTable
        what="Disks"
        columns={["Read", "Written", "Busy", "Wait"]}
        selected={shown?.device}
        onSelect={choose}
        rows={disks.map((disk) => ({
          device: disk.device,
          cells: [
            bytesPerSecond(disk.readBytesPerSecond),
            bytesPerSecond(disk.writtenBytesPerSecond),
            percent(disk.busyPercent, 0),
            milliseconds(disk.awaitSeconds)
          ]
        }))}
      />
    </Card>
  )
}

const lines = ["solid", "dashed", "dotted"] as const

export const FilesystemCard = ({
  range,
  snapshot: { filesystems, sections },
  window
}: CardData & { readonly range: Range }) => (
  <Card title="Filesystems" class="card-wide" status={sections["filesystems"]}>
    {range === "5m" ? null : (
      <WindowChart
        name="Filesystems used"
        unit="percent"
        floor={100}
        window={window}
        keys={filesystems.map(({ mountpoint }) => seriesKey("filesystem.used_percent", mountpoint))}
        series={filesystems.map(({ mountpoint }, index): ChartSeries => ({
          label: mountpoint,
          color: ((index % 5) + 1) as ChartSeries["color"],
          line: lines[index % 3]!
        }))}
      />
    )}
    <ul class="filesystems">
      {filesystems.map((filesystem) => {
        const level = filesystemLevel(filesystem)
        return (
          <li key={filesystem.mountpoint}>
            <span class="fs-name" title={`${filesystem.device}, ${filesystem.fstype}`}>
              {filesystem.mountpoint} <small>{filesystem.fstype}</small>
              {filesystem.readonly ? <small class="tag">read-only</small> : null}
            </span>
            <span class="fs-free">
              {filesystem.error ?? (
                <>
                  {level === "ok" ? null : <b class={`level-${level}`}>{levelWords[level]} · </b>}
                  {bytes(filesystem.availableBytes)} free of {bytes(filesystem.sizeBytes)}
                </>
              )}
            </span>
            <Bar label={`${filesystem.mountpoint} used`} percent={filesystem.usedPercent} level={level} />
            <span class="fs-percent">{percent(filesystem.usedPercent, 0)}</span>
          </li>
        )
      })}
    </ul>
    {filesystems.length === 0 ? <p class="card-empty">No filesystem is reported.</p> : null}
  </Card>
)
