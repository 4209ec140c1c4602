/** How long and how often a fault must be seen before it counts (spec "Health rules, ours"), each overridable by a setting; must hold no rule. */
import { Config, Duration } from "effect"

const duration = (key: string, byDefault: Duration.Input) =>
  Config.Duration(`SCHEDULER_HEALTH_${key}`).pipe(
    Config.withDefault(Duration.fromInputUnsafe(byDefault)),
    Config.map(Duration.toMillis)
  )

/** Milliseconds, but for the counts. */
export const thresholdsConfig = Config.all({
  /** Between two looks at everything. */
  interval: duration("INTERVAL", "5 seconds"),
  /** Restarts of one container from which a CrashLoopBackOff is a loop. */
  crashRestarts: Config.Int("SCHEDULER_HEALTH_CRASH_RESTARTS").pipe(Config.withDefault(3)),
  /** How long a crash loop must be seen. */
  crashHold: duration("CRASH_HOLD", "60 seconds"),
  /** Within which so many further restarts, or two OOM kills, count as well. */
  window: duration("WINDOW", "10 minutes"),
  imagePull: duration("IMAGE_PULL", "2 minutes"),
  configError: duration("CONFIG_ERROR", "1 minute"),
  notReady: duration("NOT_READY", "15 minutes"),
  pending: duration("PENDING", "5 minutes"),
  /** All pods Ready and no restart for so long: resolved (the kubelet forgets its back-off after the same time). */
  resolve: duration("RESOLVE", "10 minutes"),
  /** A fault that comes back within this time after it was resolved is the same incident. */
  reopen: duration("REOPEN", "60 minutes"),
  /** A revision whose pods were all Ready for so long is known to be good. */
  knownGood: duration("KNOWN_GOOD", "10 minutes"),
  /** After an action: complete and all Ready, restarts unchanged, for so long. */
  verify: duration("VERIFY", "5 minutes"),
  /** How long a rollout may take after an action before it counts as without effect. */
  verifyLimit: duration("VERIFY_LIMIT", "15 minutes"),
  /** After an action on a workload nothing is proposed for it. */
  cooldown: duration("COOLDOWN", "30 minutes"),
  /** Incidents after a reboot of a node say little. */
  rebootGrace: duration("REBOOT_GRACE", "10 minutes")
})

export type Thresholds = Config.Success<typeof thresholdsConfig>
