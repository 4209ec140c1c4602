/** The node's container runtime: its configuration and how to give it images; must not know what runs in it. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"

export const containerdSocket = (folder: string): string => join(folder, "containerd.sock")
export const pauseImage = "registry.k8s.io/pause:3.10"

/** `ctr` takes docker archives and OCI layouts alike. */
export const importCommand = (folder: string, tar: string): ReadonlyArray<string> => {
  const address = ["--address", containerdSocket(folder)]
  return ["ctr", ...address, "--namespace", "k8s.io", "images", "import", tar]
}

/** How layers are put together: copied, where the folder's file system is itself an overlay and takes no other. */
export type Snapshotter = "overlayfs" | "native"

/** Writes the configuration and gives its path. */
export const writeContainerdConfig = (
  folder: string,
  options: { readonly plugins: string; readonly snapshotter: Snapshotter }
): string => {
  const path = join(folder, "containerd.toml")
  const cri = `plugins."io.containerd.grpc.v1.cri"`
  writeFileSync(
    path,
    `version = 2
root = "${folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "${containerdSocket(folder)}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/opt"
[${cri}]
  sandbox_image = "${pauseImage}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE runc cannot lower a score, and dies with "can't get final child's PID from pipe".
  restrict_oom_score_adj = true
  [${cri}.cni]
    bin_dir = "${options.plugins}"
    conf_dir = "${folder}/cni"
  [${cri}.containerd]
    snapshotter = "${options.snapshotter}"
    [${cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`
  )
  return path
}
