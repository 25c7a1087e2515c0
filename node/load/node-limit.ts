/**
 * What this node serves at most (`--max-load`), for hosts that do other work: units per second, kept
 * in DIR/limits.json (docs/format-limits.md). `shoal up --max-load` holds for one start and is not kept.
 *
 * Invariant: what is set is durable before it is in force.
 */
import { z } from 'zod'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import { MAX_MAX_LOAD, MIN_MAX_LOAD } from '../../protocols/load/limit.ts'
import { MAX_LIMITS_FILE_BYTES } from '../limits.ts'
import type { Disk, Log } from '../ports.ts'
import { isAbsent } from '../storage/health.ts'

export const LIMITS_FILE = 'limits.json'

export interface NodeLimitParts {
  /** The data directory. */
  readonly disk: Disk
  readonly log: Log
  /** Instead of what is kept, for this start; null: no limit. */
  readonly thisTime: number | null | undefined
  /** Bounds what is served from now on. */
  readonly apply: (maxLoad: number | undefined) => void
}

export interface NodeLimit {
  /** In force; undefined: no limit. */
  readonly maxLoad: () => number | undefined
  /** Of the next start. */
  readonly kept: () => number | undefined
  /** From now on, and after restarts. Throws BAD_INPUT. */
  readonly set: (maxLoad: number | undefined) => Promise<void>
  readonly problems: () => readonly string[]
}

const fileSchema = z.strictObject({
  version: z.literal(1),
  maxLoad: z.number().min(MIN_MAX_LOAD).max(MAX_MAX_LOAD).nullable()
})

/** Reads what is kept, and puts the limit in force. Throws BAD_INPUT. */
export async function openNodeLimit(parts: NodeLimitParts): Promise<NodeLimit> {
  const { disk, log, thisTime, apply } = parts
  const loaded = await load(disk)
  if (loaded.problem !== undefined) log.warn({}, loaded.problem)
  let { kept, problem } = loaded
  let present = thisTime === undefined ? kept : (thisTime ?? undefined)
  if (present !== undefined) checkMaxLoad(present)
  if (present !== undefined) apply(present)
  return {
    maxLoad: () => present,
    kept: () => kept,
    set: async maxLoad => {
      if (maxLoad !== undefined) checkMaxLoad(maxLoad)
      await save(disk, maxLoad)
      problem = undefined
      kept = maxLoad
      present = maxLoad
      apply(maxLoad)
    },
    problems: () => (problem === undefined ? [] : [problem])
  }
}

export function checkMaxLoad(maxLoad: number): void {
  if (maxLoad >= MIN_MAX_LOAD && maxLoad <= MAX_MAX_LOAD) return
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'max-load' },
    `a node serves ${MIN_MAX_LOAD} units per second at least, ${MAX_MAX_LOAD} at most: one for a ` +
      'request and one for every 32 KiB'
  )
}

interface Loaded {
  readonly kept: number | undefined
  readonly problem: string | undefined
}

async function load(disk: Disk): Promise<Loaded> {
  try {
    const text = await readWhole(disk)
    if (text === undefined) return { kept: undefined, problem: undefined }
    const { maxLoad } = fileSchema.parse(JSON.parse(text))
    return { kept: maxLoad ?? undefined, problem: undefined }
  } catch (error) {
    const why = messageOf(error).replaceAll(/\s+/g, ' ').slice(0, 200)
    const problem =
      `${LIMITS_FILE} cannot be used (${why}): this node serves without a limit until ` +
      '`shoal node max-load` sets it again'
    return { kept: undefined, problem }
  }
}

async function readWhole(disk: Disk): Promise<string | undefined> {
  const file = await disk.open(LIMITS_FILE).catch((error: unknown) => {
    if (isAbsent(error)) return undefined
    throw error
  })
  if (file === undefined) return undefined
  try {
    const bytes = Buffer.alloc(Math.min(await file.size(), MAX_LIMITS_FILE_BYTES))
    await file.read(bytes, 0)
    return bytes.toString('utf8')
  } finally {
    await file.close()
  }
}

async function save(disk: Disk, maxLoad: number | undefined): Promise<void> {
  const temporary = `${LIMITS_FILE}.new`
  const file = await disk.open(temporary, 'if-absent')
  try {
    await file.truncate(0)
    await file.write([Buffer.from(JSON.stringify({ version: 1, maxLoad: maxLoad ?? null }))], 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, LIMITS_FILE)
  await disk.syncDirectory('.')
}
