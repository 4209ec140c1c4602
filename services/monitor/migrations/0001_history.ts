/** The metric history: one row per series, and one table per tier with what is needed to roll up exactly. */
import { statements } from "#shared/sql.ts"

/**
 * `at` is the start of the row's step, seconds since the epoch. An average is `total / samples`. The BRIN index serves
 * retention, which walks by time; the primary key serves queries, which walk one series.
 */
const tier = (name: string) => [
  `CREATE TABLE ${name} (
    series integer NOT NULL REFERENCES history_series (id) ON DELETE CASCADE,
    at bigint NOT NULL,
    total double precision NOT NULL,
    lowest double precision NOT NULL,
    highest double precision NOT NULL,
    samples integer NOT NULL CHECK (samples > 0),
    PRIMARY KEY (series, at)
  )`,
  `CREATE INDEX ${name}_at ON ${name} USING brin (at) WITH (pages_per_range = 16)`
]

export const history = statements(
  `CREATE TABLE history_series (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric text NOT NULL,
    label text NOT NULL,
    UNIQUE (metric, label)
  )`,
  // Seconds since the epoch up to which a tier has been filled from the finer one.
  `CREATE TABLE history_progress (
    tier text PRIMARY KEY,
    done bigint NOT NULL
  )`,
  ...["history_10s", "history_1m", "history_10m", "history_1h"].flatMap(tier)
)
