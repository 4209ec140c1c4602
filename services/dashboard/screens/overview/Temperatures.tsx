/** Sensors where the host has any (a virtual machine has none, and then nothing is shown); must fetch nothing. */
import type { HostSnapshot } from "#shared/api/monitor.ts"
import { Bar, Card } from "../../components/Card.tsx"
import { unknown } from "../../format.ts"

export const TemperatureCard = ({ snapshot: { temperatures } }: { readonly snapshot: HostSnapshot }) =>
  temperatures.length === 0 ? null : (
    <Card title="Temperatures" class="card-full">
      <ul class="temperatures">
        {temperatures.map(({ celsius, criticalCelsius, sensor }) => (
          <li key={sensor}>
            <span>{sensor}</span>
            <b>{celsius === null ? unknown : `${celsius.toFixed(0)} °C`}</b>
            {criticalCelsius === null ? null : (
              <>
                <Bar
                  label={`${sensor} of its limit`}
                  percent={celsius === null ? null : (celsius / criticalCelsius) * 100}
                  level={celsius !== null && celsius > criticalCelsius - 10 ? "warning" : "ok"}
                />
                <small>limit {criticalCelsius.toFixed(0)} °C</small>
              </>
            )}
          </li>
        ))}
      </ul>
    </Card>
  )
