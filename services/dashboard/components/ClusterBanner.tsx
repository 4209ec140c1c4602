/** Says when what is shown of the cluster is old: the page does not hear the platform, or the platform does not see the cluster. */
import { fullTime } from "../format.ts"
import { type Cluster, retryCluster } from "../useCluster.ts"
import { Icon } from "./Icon.tsx"
import { StatusBanner } from "./StatusBanner.tsx"

export const ClusterBanner = ({ cluster }: { readonly cluster: Cluster }) => (
  <>
    <StatusBanner state={cluster.stream} onRetry={retryCluster} />
    {cluster.staleSince === null ? null : (
      <div class="banner banner-stale" role="alert">
        <Icon name="warning" />
        <p>
          <b>The cluster is not seen since {fullTime(cluster.staleSince)}.</b>{" "}
          <span>What is shown is of that time, and nothing can be changed until it answers.</span>
        </p>
      </div>
    )}
  </>
)

/** Whether values have to be shown as old ones. */
export const isOld = ({ staleSince, stream }: Cluster): boolean =>
  staleSince !== null || stream.kind === "stale" || stream.kind === "ended"
