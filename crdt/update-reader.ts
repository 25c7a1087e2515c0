/**
 * Reads a Yjs update (encoding v1) of the one shape that our documents make, and nothing else.
 *
 *   update  := count { structs client clock item* } deletes
 *   item    := info parentIsRoot=1 "claims" key content     content := bytes | deleted length 1
 *   deletes := count { client count { clock length } }      integers are lib0's varints
 *
 * Every claim is an entry of one root map, written once under a key that no entry had before. So
 * an item never names a neighbour, has length 1 and needs nothing but the earlier items of its own
 * client. Whatever else Yjs could express (nested types, text, sub-documents, gaps, overwrites) is
 * refused here, at its first byte, before Yjs sees it: the reader is total, allocates in
 * proportion to the bytes it was given, and consumes all of them.
 */
import { MAX_CLIENTS, MAX_KEY_CHARS, MAX_RECORD_BYTES, MAX_RECORDS } from './limits.ts'

/** The root map that holds the claims of a document. */
export const ROOT = 'claims'

/** One written claim; `bytes` is absent where only the bones of a pruned one are left. */
export interface UpdateItem {
  readonly clock: number
  readonly key: string
  readonly bytes: Uint8Array | undefined
}

export interface ClientItems {
  readonly client: number
  readonly clock: number
  readonly items: readonly UpdateItem[]
}

export interface DeleteRange {
  readonly client: number
  readonly clock: number
  readonly length: number
}

export interface ReadUpdate {
  readonly clients: readonly ClientItems[]
  readonly deletes: readonly DeleteRange[]
}

const BITS_CONTENT = 0b0001_1111
const BIT_PARENT_SUB = 0b0010_0000
const BITS_NEIGHBOURS = 0b1100_0000
const CONTENT_DELETED = 1
const CONTENT_BINARY = 3
const KEY = /^[A-Za-z0-9./-]+$/

/** What `update` says, or why it is refused. */
export function readUpdate(update: Uint8Array): ReadUpdate | { readonly refused: string } {
  try {
    const cursor = new Cursor(update)
    const clients = readClients(cursor)
    const deletes = readDeletes(cursor)
    if (!cursor.done) refuse('bytes after the end')
    return { clients, deletes }
  } catch (error) {
    if (error instanceof Refused) return { refused: error.message }
    throw error
  }
}

function readClients(cursor: Cursor): ClientItems[] {
  const count = cursor.integer(MAX_CLIENTS)
  const seen = new Set<number>()
  const clients: ClientItems[] = []
  let budget = MAX_RECORDS
  for (let i = 0; i < count; i++) {
    const length = cursor.integer(budget)
    const client = cursor.integer(Number.MAX_SAFE_INTEGER)
    const clock = cursor.integer(MAX_RECORDS)
    if (length === 0 || seen.has(client)) refuse('a client without items, or named twice')
    seen.add(client)
    budget -= length
    const items: UpdateItem[] = []
    for (let n = 0; n < length; n++) items.push(readItem(cursor, clock + n))
    clients.push({ client, clock, items })
  }
  return clients
}

function readItem(cursor: Cursor, clock: number): UpdateItem {
  const info = cursor.byte()
  const content = info & BITS_CONTENT
  if ((info & BITS_NEIGHBOURS) !== 0 || (info & BIT_PARENT_SUB) === 0) refuse('not a claim')
  if (content !== CONTENT_DELETED && content !== CONTENT_BINARY) refuse('not a kind of content')
  if (cursor.integer(1) !== 1 || cursor.text(ROOT.length) !== ROOT) refuse('not our root')
  const key = cursor.text(MAX_KEY_CHARS)
  if (!KEY.test(key)) refuse('not a key')
  if (content === CONTENT_BINARY) return { clock, key, bytes: cursor.bytes(MAX_RECORD_BYTES) }
  if (cursor.integer(1) !== 1) refuse('an empty item')
  return { clock, key, bytes: undefined }
}

function readDeletes(cursor: Cursor): DeleteRange[] {
  const count = cursor.integer(MAX_CLIENTS)
  const seen = new Set<number>()
  const ranges: DeleteRange[] = []
  for (let i = 0; i < count; i++) {
    const client = cursor.integer(Number.MAX_SAFE_INTEGER)
    const length = cursor.integer(MAX_RECORDS)
    if (seen.has(client)) refuse('deletes of a client named twice')
    seen.add(client)
    let least = 0
    for (let n = 0; n < length; n++) {
      const range = {
        client,
        clock: cursor.integer(MAX_RECORDS),
        length: cursor.integer(MAX_RECORDS)
      }
      if (range.clock < least || range.length === 0) refuse('deletes out of order')
      least = range.clock + range.length
      ranges.push(range)
    }
  }
  return ranges
}

class Refused extends Error {}

function refuse(why: string): never {
  throw new Refused(why)
}

class Cursor {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  byte(): number {
    const value = this.#bytes[this.#at]
    if (value === undefined) refuse('cut short')
    this.#at += 1
    return value
  }

  /** A varint of at most 53 bits; seven bits a byte, the least first. */
  integer(max: number): number {
    let value = 0
    for (let unit = 1; unit <= 2 ** 49; unit *= 128) {
      const byte = this.byte()
      value += (byte & 127) * unit
      if (value > max) refuse('a number out of bounds')
      if (byte < 128) return value
    }
    return refuse('a number without end')
  }

  bytes(max: number): Uint8Array {
    const length = this.integer(max)
    const end = this.#at + length
    if (end > this.#bytes.length) refuse('cut short')
    const bytes = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return bytes
  }

  /** ASCII in effect: what the caller accepts has no other characters. */
  text(max: number): string {
    const bytes = this.bytes(max)
    let text = ''
    for (const byte of bytes) text += String.fromCharCode(byte)
    return text
  }
}
