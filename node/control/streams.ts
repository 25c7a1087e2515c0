/** The body of a request, piece by piece. */
export async function* readable(
  body: ReadableStream<Uint8Array> | null
): AsyncGenerator<Uint8Array> {
  if (body === null) return
  const reader = body.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    reader.releaseLock()
  }
}
