/** The one way in which a setting is refused; must name no value. */
import { Config, ConfigProvider, Effect } from "effect"

/** A setting that is refused: the key's name and what is expected, never the value. */
export const invalid = (key: string, detail: string) =>
  Effect.fail(new Config.ConfigError(new ConfigProvider.SourceError({ message: `${detail} at ["${key}"]` })))
