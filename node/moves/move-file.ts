/**
 * DIR/moves.json: what this node goes on with after a restart, and what it has moved. The format is
 * in docs/format-moves.md. Replaced as a whole: written under another name, synced, renamed, the
 * directory synced.
 *
 * Invariants: one write at a time, and after the last change one more; a file that cannot be read
 * is kept under another name and named as a problem: the chunks themselves are in no danger.
 */
import { z } from 'zod'
import { messageOf } from '../../protocols/fault.ts'
import { MAX_COLUMNS, MAX_COUNTER } from '../../protocols/limits.ts'
import {
  MAX_ENDED_MOVES,
  MAX_MOVE_RANGES,
  MAX_OPEN_MOVES,
  MAX_WHY_CHARS
} from '../../protocols/moves/limits.ts'
import {
  boundSchema,
  drainPurposeSchema,
  moveIdSchema,
  moveSchema,
  nodeIdSchema,
  volumeIdSchema
} from '../../protocols/moves/messages.ts'
import { MAX_MOVES_FILE_BYTES } from '../limits.ts'
import type { Disk, Log } from '../ports.ts'

export const MOVES_FILE = 'moves.json'

const amount = z.number().min(0).max(MAX_COUNTER)
const whole = (max: number) => z.number().int().min(0).max(max)
const rangeSchema = z.strictObject({
  generation: whole(0xffff),
  column: whole(MAX_COLUMNS - 1),
  replica: whole(0xff),
  from: whole(0xffff_ffff),
  to: whole(0xffff_ffff)
})

const fileSchema = z.strictObject({
  version: z.literal(1),
  bound: boundSchema,
  drain: z
    .strictObject({
      purpose: drainPurposeSchema,
      since: amount,
      chunks: amount,
      bytes: amount
    })
    .nullable(),
  open: z
    .array(
      z.strictObject({
        id: moveIdSchema,
        volume: volumeIdSchema,
        to: nodeIdSchema,
        why: z.string().max(MAX_WHY_CHARS),
        since: amount,
        isDrain: z.boolean(),
        ranges: z.array(rangeSchema).max(MAX_MOVE_RANGES),
        totalBytes: amount,
        doneBytes: amount,
        longestPauseMs: amount
      })
    )
    .max(MAX_OPEN_MOVES),
  ended: z.array(moveSchema).max(MAX_ENDED_MOVES)
})
export type MovesRecord = z.infer<typeof fileSchema>

export const NO_MOVES: MovesRecord = { version: 1, bound: null, drain: null, open: [], ended: [] }

export interface Loaded {
  readonly record: MovesRecord
  /** What was wrong with the file, in words. */
  readonly problem?: string
}

export class MoveFile {
  readonly #disk: Disk
  readonly #log: Log
  readonly #current: () => MovesRecord
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(disk: Disk, log: Log, current: () => MovesRecord) {
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
        this.#running = writeWhole(this.#disk, JSON.stringify(this.#current()))
        return this.#running
      })
    return this.#next
  }

  /** The same where nobody waits: a failure is logged, and the next change tries again. */
  saveSoon(): void {
    this.save().catch(error => {
      this.#log.error({ error: messageOf(error) }, `${MOVES_FILE} could not be written`)
    })
  }
}

export async function loadMoves(disk: Disk, log: Log): Promise<Loaded> {
  const bytes = await readWhole(disk)
  if (bytes === undefined) return { record: NO_MOVES }
  try {
    return { record: fileSchema.parse(JSON.parse(bytes.toString('utf8'))) }
  } catch (error) {
    const kept = `${MOVES_FILE}.damaged`
    await disk.rename(MOVES_FILE, kept)
    log.error({ error: messageOf(error) }, `${MOVES_FILE} cannot be read and is kept as ${kept}`)
    const problem =
      `${MOVES_FILE} could not be read (kept as ${kept}): moves that were queued, a drain and the ` +
      'rate of moves are forgotten; ask for them again'
    return { record: NO_MOVES, problem }
  }
}

async function readWhole(disk: Disk): Promise<Buffer | undefined> {
  try {
    const file = await disk.open(MOVES_FILE)
    try {
      const bytes = Buffer.alloc(Math.min(await file.size(), MAX_MOVES_FILE_BYTES))
      await file.read(bytes, 0)
      return bytes
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

async function writeWhole(disk: Disk, text: string): Promise<void> {
  const temporary = `${MOVES_FILE}.new`
  const file = await disk.open(temporary, 'if-absent')
  try {
    await file.truncate(0)
    await file.write([Buffer.from(text)], 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, MOVES_FILE)
  await disk.syncDirectory('.')
}
