/** Who may do what: users with their grants, and roles with their rights; must offer a change only to those who may make it. */
import type { Me } from "#shared/api/auth.ts"
import { Link } from "../components/Link.tsx"
import { NotAllowed } from "../components/Messages.tsx"
import { mayI } from "../rights.ts"
import { useLocation } from "../router.ts"
import { Roles } from "./access/Roles.tsx"
import { useRoleBook } from "./access/useRoleBook.ts"
import { Users } from "./access/Users.tsx"

export const Access = ({ me }: { readonly me: Me }) =>
  mayI(me, "auth", "read") ? (
    <Content me={me} />
  ) : (
    <>
      <header class="page-head">
        <h1 tabIndex={-1}>Access</h1>
      </header>
      <NotAllowed what="users and roles" needs="auth:read" />
    </>
  )

const Content = ({ me }: { readonly me: Me }) => {
  const { query } = useLocation()
  const view = query.get("view") === "roles" ? "roles" : "users"
  const book = useRoleBook()
  const mayWrite = mayI(me, "auth", "write")
  return (
    <>
      <header class="page-head">
        <div>
          <h1 tabIndex={-1}>Access</h1>
          <p class="page-sub">Who may do what. A change takes effect everywhere within 5 seconds.</p>
        </div>
        <nav class="tabs" aria-label="Access">
          <Link to="/access" aria-current={view === "users" ? "page" : undefined}>
            Users
          </Link>
          <Link to="/access?view=roles" aria-current={view === "roles" ? "page" : undefined}>
            Roles
          </Link>
        </nav>
      </header>
      {view === "users" ? (
        <Users me={me} mayWrite={mayWrite} book={book} />
      ) : (
        <Roles mayWrite={mayWrite} book={book} environment={me.environment} />
      )}
    </>
  )
}
