/**
 * DIR/moves.json: what this node goes on with after a restart, and what it has moved. The format is
 * in docs/format-moves.md.
 *
 * Invariant: a file that cannot be read is named as a problem: the chunks themselves are in no danger.
 */
import { z } from 'zod'
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
import { JsonFile, loadJson } from '../json-file.ts'
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
        /** Of what the node decided by itself. */
        reason: z.enum(['predicted', 'reactive', 'home']).optional(),
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

export function moveFile(disk: Disk, log: Log, current: () => MovesRecord): JsonFile {
  return new JsonFile(MOVES_FILE, disk, log, current)
}

export async function loadMoves(disk: Disk, log: Log): Promise<Loaded> {
  const found = await loadJson({ disk, log, name: MOVES_FILE }, fileSchema, MAX_MOVES_FILE_BYTES)
  if (found.is === 'read') return { record: found.value }
  if (found.is === 'absent') return { record: NO_MOVES }
  const problem =
    `${MOVES_FILE} could not be read (kept as ${found.keptAs}): moves that were queued, a drain ` +
    'and the rate of moves are forgotten; ask for them again'
  return { record: NO_MOVES, problem }
}
