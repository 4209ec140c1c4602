/** The few drawings of the app, decorative beside a word; must carry no meaning alone. */
const paths = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  sessions: "M15.5 7.5a4 4 0 1 1-3.6 5.7L9 16H7v2H5v2H2v-3l7.2-7.2A4 4 0 0 1 15.5 7.5Zm.5 3.5h.01",
  access: "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7 10a7 7 0 0 1 14 0M16 3.5a4 4 0 0 1 0 7.5m2.5 3.6A7 7 0 0 1 22 21",
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
