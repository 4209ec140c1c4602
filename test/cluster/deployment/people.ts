/** The people of a deployed environment: the first owner, and those whom the owner gives a role; must use the public door alone. */
import { Schema } from "effect"
import { UserWithGrants } from "#shared/api/auth.ts"
import { logInAs, type Way } from "#test/scenarios/browserJar.ts"
import { logIn, type Person } from "#test/scenarios/story.ts"

const decodeUsers = Schema.decodeUnknownSync(Schema.Struct({ items: Schema.Array(UserWithGrants) }))

export const usersOf = async (person: Person) => decodeUsers(await person.get("/auth/users?limit=200")).items

/** Logs the owner in, and each of `roles` once, so that the owner can give them their role in `environment`. */
export const peopleOf = async (
  origin: string,
  way: Way,
  environment: string,
  roles: ReadonlyArray<string>
): Promise<Person> => {
  const owner = await logIn(origin, "owner", way)
  const known = new Map((await usersOf(owner)).map((user) => [user.subject, user]))
  for (const role of roles) {
    if (known.has(role)) continue
    await logInAs(origin, role, way)
    const user = (await usersOf(owner)).find(({ subject }) => subject === role)
    if (user === undefined) throw new Error(`${role} has logged in and is not among the users`)
    const answer = await owner.post("/auth/grants", { userId: user.id, role, environment })
    if (answer.status >= 300) throw new Error(`no role for ${role}: ${answer.status} ${JSON.stringify(answer.body)}`)
  }
  return owner
}
