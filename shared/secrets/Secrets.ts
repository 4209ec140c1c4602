/** Secrets by reference, from mounted files or a KV v2 server as configuration says; values are Redacted, and must appear in no log, error or answer. */
import { Context, Effect, Layer, type Stream } from "effect"
import { referenceText, type SecretReference } from "./reference.ts"
import { openStore, type SecretsConfig } from "./settings.ts"
import { changesOf, type Secret, type SecretStore } from "./store.ts"

export class Secrets extends Context.Service<
  Secrets,
  {
    readonly name: string
    readonly read: SecretStore["read"]
    /** The present value and then every new one, as soon as it is noticed; never fails and never ends. */
    readonly changes: (reference: SecretReference) => Stream.Stream<Secret>
  }
>()("gatehouse/shared/Secrets") {
  /**
   * By configuration (`secretsConfig`): Kubernetes Secrets mounted below one folder, where `secret://path#key` is the file
   * `path/key`, or a server with the HTTP API of Vault and OpenBao, where it is the field `key` of the KV v2 secret at `path`.
   */
  static readonly layer = (config: SecretsConfig) => Layer.effect(Secrets, Effect.map(openStore(config), ofStore))
}

const ofStore = ({ name, noticed, read }: SecretStore) =>
  Secrets.of({
    name,
    read,
    changes: (reference) => changesOf({ name: referenceText(reference), read: read(reference), noticed })
  })
