/**
 * What people set for the balancing of a node, its defaults and its bounds. What they set for a
 * volume is VolumeBalance (types.ts).
 *
 * Invariant: settings that `boundSettings` returned lie within BOUNDS.
 */
export interface NodeSettings {
  readonly isPaused: boolean
  /** Part of its capacity above which it counts as overloaded. */
  readonly thresholdPart: number
  readonly horizonMinutes: number
  readonly movesPerHour: number
  /** Absent: no bound. */
  readonly bytesPerHour?: number
  /** Regions of its targets; absent: all. */
  readonly regions?: readonly string[]
}

export const DEFAULT_SETTINGS: NodeSettings = {
  isPaused: false,
  thresholdPart: 0.8,
  horizonMinutes: 60,
  movesPerHour: 12
}

export const BOUNDS = {
  thresholdPart: { min: 0.1, max: 1 },
  horizonMinutes: { min: 15, max: 1_440 },
  movesPerHour: { min: 0, max: 1_000 },
  bytesPerHour: { min: 0, max: Number.MAX_SAFE_INTEGER }
} as const

/** The nearest settings that are allowed: for what was kept by another version. */
export function boundSettings(settings: NodeSettings): NodeSettings {
  const { bytesPerHour, regions } = settings
  return {
    isPaused: settings.isPaused,
    thresholdPart: within(settings.thresholdPart, 'thresholdPart'),
    horizonMinutes: Math.round(within(settings.horizonMinutes, 'horizonMinutes')),
    movesPerHour: Math.round(within(settings.movesPerHour, 'movesPerHour')),
    ...(bytesPerHour !== undefined && { bytesPerHour: within(bytesPerHour, 'bytesPerHour') }),
    ...(regions !== undefined && { regions })
  }
}

function within(value: number, name: keyof typeof BOUNDS): number {
  const { min, max } = BOUNDS[name]
  if (!Number.isFinite(value)) return min
  return Math.min(max, Math.max(min, value))
}
