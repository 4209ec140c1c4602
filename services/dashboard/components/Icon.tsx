/** The few drawings of the app, decorative beside a word; must carry no meaning alone. */
const paths = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  sessions: "M15.5 7.5a4 4 0 1 1-3.6 5.7L9 16H7v2H5v2H2v-3l7.2-7.2A4 4 0 0 1 15.5 7.5Zm.5 3.5h.01",
  access: "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7 10a7 7 0 0 1 14 0M16 3.5a4 4 0 0 1 0 7.5m2.5 3.6A7 7 0 0 1 22 21",
  workloads: "M12 3l8 4.5v9L12 21l-8-4.5v-9L12 3Zm0 9l8-4.5M12 12v9M12 12L4 7.5",
  proposals: "M4 5h16v11H9l-5 4V5Zm4.5 5.5 2.5 2.5 4.5-4.5",
  apply: "M12 4v11m-4.5-4.5L12 15l4.5-4.5M4 20h16",
  actions: "M12 8v4.5l3 2M3.5 12a8.5 8.5 0 1 0 2.6-6.1L3.5 8.4M3.5 4v4.4h4.4",
  incidents: "M12 3a6 6 0 0 1 6 6c0 5 2 6.5 2 8H4c0-1.5 2-3 2-8a6 6 0 0 1 6-6Zm-2.5 17.5a2.6 2.6 0 0 0 5 0",
  jobs: "M4 6h16M4 12h10M4 18h13M18 10.5v5l4-2.5-4-2.5Z",
  schedules: "M5 5h14v15H5zM5 9.5h14M9 3v4m6-4v4m-3 5v3l2 1.5",
  play: "M8 5v14l11-7L8 5Z",
  restart: "M20 12a8 8 0 1 1-2.4-5.7L20 8.5M20 3.5v5h-5",
  undo: "M9 5 4 10l5 5M4 10h10.5a4.5 4.5 0 0 1 0 9H11",
  scale: "M4 20V14M10 20V9m6 11V5m4 15H2",
  external: "M13 5h6v6m0-6-8 8M17 14v5H5V7h5",
  download: "M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 20h14",
  menu: "M4 6h16M4 12h16M4 18h16",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warning: "M12 4 2.8 20h18.4L12 4Zm0 6v4.5m0 2.7v.1",
  plus: "M12 5v14M5 12h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm9 2-4-4",
  key: "M15.5 7.5a4 4 0 1 1-3.6 5.7L9 16H7v2H5v2H2v-3l7.2-7.2A4 4 0 0 1 15.5 7.5Z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  chevron: "M8 10l4 4 4-4",
  pause: "M8 5v14M16 5v14",
  keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M8 14h8",
  exit: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9"
} as const

export type IconName = keyof typeof paths

export const Icon = ({ name }: { readonly name: IconName }) => (
  <svg class="icon" viewBox="0 0 24 24" width="18" height="18" aria-hidden="true" focusable="false">
    <path d={paths[name]} />
  </svg>
)

export const Logo = () => (
  <svg class="logo" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" focusable="false">
    <rect width="32" height="32" rx="8" />
    <path d="M7 25V11l3-3 3 3v3h6v-3l3-3 3 3v14h-6v-4a3 3 0 0 0-6 0v4z" />
  </svg>
)
