/**
 * A small JSON file in the data directory, replaced as a whole: written under another name, synced,
 * renamed, the directory synced.
 *
 * Invariants: one write at a time, and after the last change one more; what was read and is not as
 * it must be is kept under another name.
 */
import type { z } from 'zod'
import { messageOf } from '../protocols/fault.ts'
import type { Disk, Log } from './ports.ts'
import { isAbsent } from './storage/health.ts'

export class JsonFile {
  readonly #name: string
  readonly #disk: Disk
  readonly #log: Log
  readonly #current: () => object
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  /** `current`: what is to be in the file, whenever it is written. */
  constructor(name: string, disk: Disk, log: Log, current: () => object) {
    this.#name = name
    this.#disk = disk
    this.#log = log
    this.#current = current
  }

  /** Durable when it resolves: everything that `current` says at that moment or later. */
  save(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined
        this.#running = writeWhole(this.#disk, this.#name, JSON.stringify(this.#current()))
        return this.#running
      })
    return this.#next
  }

  /** The same where nobody waits: a failure is logged, and the next change tries again. */
  saveSoon(): void {
    this.save().catch(error => {
      this.#log.error({ error: messageOf(error) }, `${this.#name} could not be written`)
    })
  }
}

/** What was found: nothing, a value, or something that cannot be used and is kept as NAME.damaged. */
export type Found<T> =
  | { readonly is: 'absent' }
  | { readonly is: 'read'; readonly value: T }
  | { readonly is: 'damaged'; readonly keptAs: string }

/** Rejects as the disk does. */
export async function loadJson<T>(
  { disk, log, name }: { readonly disk: Disk; readonly log: Log; readonly name: string },
  schema: z.ZodType<T>,
  maxBytes: number
): Promise<Found<T>> {
  const bytes = await readWhole(disk, name, maxBytes)
  if (bytes === undefined) return { is: 'absent' }
  try {
    return { is: 'read', value: schema.parse(JSON.parse(bytes.toString('utf8'))) }
  } catch (error) {
    const keptAs = `${name}.damaged`
    await disk.rename(name, keptAs)
    log.error({ error: messageOf(error) }, `${name} cannot be read and is kept as ${keptAs}`)
    return { is: 'damaged', keptAs }
  }
}

async function readWhole(disk: Disk, name: string, maxBytes: number): Promise<Buffer | undefined> {
  const file = await disk.open(name).catch((error: unknown) => {
    if (isAbsent(error)) return undefined
    throw error
  })
  if (file === undefined) return undefined
  try {
    const bytes = Buffer.alloc(Math.min(await file.size(), maxBytes))
    await file.read(bytes, 0)
    return bytes
  } finally {
    await file.close()
  }
}

async function writeWhole(disk: Disk, name: string, text: string): Promise<void> {
  const temporary = `${name}.new`
  const file = await disk.open(temporary, 'if-absent')
  try {
    await file.truncate(0)
    await file.write([Buffer.from(text)], 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, name)
  await disk.syncDirectory('.')
}
