/**
 * DIR/balance.json: what people set for the balancing of this node (docs/format-balance.md).
 *
 * Invariants: what `set` has resolved is durable; a file that cannot be read is kept aside, named as
 * a problem, and the defaults count: no node stays paused, or unpaused, without a word.
 */
import { z } from 'zod'
import {
  BOUNDS,
  boundSettings,
  DEFAULT_SETTINGS,
  type NodeSettings
} from '../../protocols/balance/settings.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import { isName } from '../../protocols/ids.ts'
import { JsonFile, loadJson } from '../json-file.ts'
import { MAX_BALANCE_FILE_BYTES } from '../limits.ts'
import type { Disk, Log } from '../ports.ts'
import type { NodeSettingsChange } from './types.ts'

export const BALANCE_FILE = 'balance.json'
const MAX_REGIONS = 64

const fileSchema = z.strictObject({
  version: z.literal(1),
  isPaused: z.boolean(),
  thresholdPart: z.number(),
  horizonMinutes: z.number(),
  movesPerHour: z.number(),
  bytesPerHour: z.number().optional(),
  regions: z.array(z.string().max(63)).max(MAX_REGIONS).optional()
})

export class Settings {
  readonly problem: string | undefined
  readonly #file: JsonFile
  readonly #listeners: Array<() => void> = []
  #now: NodeSettings
  #next: NodeSettings | undefined

  constructor(disk: Disk, log: Log, now: NodeSettings, problem: string | undefined) {
    this.#now = now
    this.problem = problem
    this.#file = new JsonFile(BALANCE_FILE, disk, log, () => ({
      version: 1,
      ...(this.#next ?? this.#now)
    }))
  }

  get now(): NodeSettings {
    return this.#now
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Durable, then in force. Throws ShoalError BAD_INPUT or IO_ERROR. */
  async set(change: NodeSettingsChange): Promise<NodeSettings> {
    const next = changed(this.#next ?? this.#now, change)
    this.#next = next
    try {
      await this.#file.save()
    } catch (error) {
      if (this.#next === next) this.#next = undefined
      const why = `${BALANCE_FILE} could not be written: ${messageOf(error)}`
      throw new ShoalError({ code: 'IO_ERROR' }, why, { cause: error })
    }
    this.#now = next
    if (this.#next === next) this.#next = undefined
    for (const listener of this.#listeners) listener()
    return next
  }
}

export async function openSettings(disk: Disk, log: Log): Promise<Settings> {
  const found = await loadJson(
    { disk, log, name: BALANCE_FILE },
    fileSchema,
    MAX_BALANCE_FILE_BYTES
  )
  if (found.is === 'absent') return new Settings(disk, log, DEFAULT_SETTINGS, undefined)
  if (found.is === 'read') {
    const { version: _, bytesPerHour, regions, ...rest } = found.value
    const kept = { ...rest, ...(bytesPerHour !== undefined && { bytesPerHour }) }
    const settings = boundSettings({ ...kept, ...(regions !== undefined && { regions }) })
    return new Settings(disk, log, settings, undefined)
  }
  const problem =
    `${BALANCE_FILE} could not be read (kept as ${found.keptAs}): balancing goes by its defaults; ` +
    'see `shoal balance status`, and set again what was set'
  return new Settings(disk, log, DEFAULT_SETTINGS, problem)
}

function changed(before: NodeSettings, change: NodeSettingsChange): NodeSettings {
  const { bytesPerHour = before.bytesPerHour, regions = before.regions } = change
  const next: NodeSettings = {
    isPaused: change.isPaused ?? before.isPaused,
    thresholdPart: change.thresholdPart ?? before.thresholdPart,
    horizonMinutes: change.horizonMinutes ?? before.horizonMinutes,
    movesPerHour: change.movesPerHour ?? before.movesPerHour,
    ...(bytesPerHour === null || bytesPerHour === undefined ? {} : { bytesPerHour }),
    ...(regions === null || regions === undefined ? {} : { regions })
  }
  for (const name of ['thresholdPart', 'horizonMinutes', 'movesPerHour', 'bytesPerHour'] as const) {
    checkBounds(name, next[name])
  }
  const isFew = (next.regions?.length ?? 0) <= MAX_REGIONS
  if (isFew && next.regions?.every(isName) !== false) return boundSettings(next)
  throw new ShoalError({ code: 'BAD_INPUT', field: 'regions' }, 'these are no names of regions')
}

function checkBounds(name: keyof typeof BOUNDS, value: number | undefined): void {
  const { min, max } = BOUNDS[name]
  if (value === undefined || (value >= min && value <= max)) return
  const why = `${name} is ${value}: it must be between ${min} and ${max}`
  throw new ShoalError({ code: 'BAD_INPUT', field: name }, why)
}
