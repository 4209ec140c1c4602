/** Builds the kubectl that renders the overlays, once; what cannot be built is said, and is no failure. */
import { build, goVersion } from "#test/cluster/build.ts"

if (goVersion("controlplane") === undefined) console.error("no Go toolchain: the overlays' tests will be skipped")
else await build("controlplane")
