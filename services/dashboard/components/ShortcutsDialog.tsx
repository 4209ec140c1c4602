/** The keys there are; must list only what works for this person. */
import { Dialog } from "./Dialog.tsx"
import type { NavItem } from "./Sidebar.tsx"

interface ShortcutsDialogProps {
  readonly items: ReadonlyArray<NavItem>
  readonly onClose: () => void
}

export const ShortcutsDialog = ({ items, onClose }: ShortcutsDialogProps) => (
  <Dialog title="Keyboard shortcuts" onClose={onClose} class="dialog-small">
    <dl class="shortcuts">
      {items.map(({ key, title }) => (
        <div key={key}>
          <dt>
            <kbd>g</kbd> <kbd>{key}</kbd>
          </dt>
          <dd>Go to {title}</dd>
        </div>
      ))}
      <div>
        <dt>
          <kbd>/</kbd>
        </dt>
        <dd>Search, where a page has a search</dd>
      </div>
      <div>
        <dt>
          <kbd>←</kbd> <kbd>→</kbd>
        </dt>
        <dd>Read a focused chart value by value</dd>
      </div>
      <div>
        <dt>
          <kbd>?</kbd>
        </dt>
        <dd>This list</dd>
      </div>
      <div>
        <dt>
          <kbd>Esc</kbd>
        </dt>
        <dd>Close a dialog or menu</dd>
      </div>
    </dl>
  </Dialog>
)
