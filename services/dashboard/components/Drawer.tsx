/** The sidebar as a modal drawer for narrow screens; must add nothing to it. */
import { useEffect, useRef } from "preact/hooks"
import { Icon } from "./Icon.tsx"
import { Sidebar, type SidebarProps } from "./Sidebar.tsx"

export const Drawer = ({ onClose, ...sidebar }: SidebarProps & { readonly onClose: () => void }) => {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const element = dialog.current!
    element.showModal()
    return () => element.close()
  }, [])
  return (
    <dialog
      ref={dialog}
      class="drawer"
      aria-label="Navigation"
      onClose={onClose}
      onClick={(event) => {
        if (event.target === dialog.current) onClose()
      }}
    >
      <button type="button" class="icon-button drawer-close" aria-label="Close navigation" onClick={onClose}>
        <Icon name="close" />
      </button>
      <Sidebar {...sidebar} />
    </dialog>
  )
}
