import sharp from "sharp";

/**
 * Decodes an image file as Pillow's `convert("RGB")` does: colour profile and transparency are ignored, EXIF
 * does not turn the image (sharp's default), and of damaged files only those that end early are refused.
 * @returns {Promise<{pixels: Uint8Array, dims: [number, number, 3]}>}
 */
export async function decode(file) {
  const image = sharp(file, { ignoreIcc: true, failOn: "truncated" }).removeAlpha().toColourspace("srgb");
  const { data, info } = await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  return { pixels: data, dims: [info.height, info.width, info.channels] };
}
