/** What `gatehouse dev` is in the image, which holds no development platform: a refusal that says where it is. */
import { Effect, Schema } from "effect"

export class NotInThisImage extends Schema.TaggedError<NotInThisImage>()("NotInThisImage", {}) {
  override get message() {
    return "the development platform is no part of this image; start it from a checkout with: npm start"
  }
}

export const startPlatform = () => Effect.fail(new NotInThisImage())
export const greeting = () => ""
