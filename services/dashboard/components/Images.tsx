/** The images of a pod template, short, each with its whole name at hand. */
import { shortImage } from "../words.ts"

export const Images = ({ images }: { readonly images: ReadonlyArray<string> }) => (
  <span class="images">
    {images.map((image) => (
      <code key={image} title={image}>
        {shortImage(image)}
      </code>
    ))}
  </span>
)
