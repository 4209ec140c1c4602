/** The people of a development start, one for each built-in role and one without any; must hold no secret. */

/** Someone who may log in at the development identity provider; `id` is the OIDC subject, `role` the role the gateway is seeded with. */
export type DemoUser = {
  readonly id: string
  readonly name: string
  readonly email: string
  readonly role: string | null
}

const user = (id: string, name: string, role: string | null): DemoUser => ({
  id,
  name,
  email: `${id}@gatehouse.test`,
  role
})

export const demoUsers: ReadonlyArray<DemoUser> = [
  user("viewer", "Vera Viewer", "viewer"),
  user("developer", "Dev Developer", "developer"),
  user("operator", "Otto Operator", "operator"),
  user("approver", "April Approver", "approver"),
  user("owner", "Olga Owner", "owner"),
  user("newcomer", "Nico Newcomer", null)
]
