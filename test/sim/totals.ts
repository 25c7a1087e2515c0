/** What one seed, or all of them, did: counted, added up, printed. */
import type { StepCount } from './steps.ts'

export class Totals {
  operations = 0
  errors = 0
  attaches = 0
  takeOvers = 0
  /** Handoffs that are over, and those of them that passed the chunk on. */
  handoffs = 0
  passed = 0
  events = 0
  virtualMs = 0
  readonly faults = new Map<string, number>()

  fault(kind: string): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1)
  }

  get faultCount(): number {
    return [...this.faults.values()].reduce((sum, count) => sum + count, 0)
  }
}

/** One seed's outcome, as it crosses from a worker to the runner. */
export interface SeedResult {
  readonly seed: number
  readonly failures: readonly string[]
  readonly operations: number
  readonly errors: number
  readonly attaches: number
  readonly takeOvers: number
  readonly handoffs: number
  readonly passed: number
  readonly events: number
  readonly virtualMs: number
  readonly cpuMs: number
  readonly digest: string
  readonly faults: Readonly<Record<string, number>>
  readonly steps: Readonly<Record<string, StepCount>>
  /** The end of the trace, of a seed that failed; all of it if asked for. */
  readonly trace: readonly string[]
}

export const LEAST_OPERATIONS = 200
export const LEAST_FAULTS = 3
export const LEAST_FAULT_KINDS = 2
export const LEAST_HANDOFFS = 1

/** Why a seed does not count; undefined if it does. */
export function shortfall(result: SeedResult): string | undefined {
  const kinds = Object.keys(result.faults).length
  const faults = Object.values(result.faults).reduce((sum, count) => sum + count, 0)
  if (result.operations < LEAST_OPERATIONS) return `${result.operations} operations`
  if (faults < LEAST_FAULTS) return `${faults} faults`
  if (kinds < LEAST_FAULT_KINDS) return `${kinds} kinds of fault`
  if (result.handoffs < LEAST_HANDOFFS) return `${result.handoffs} handoffs`
  return undefined
}

export interface Sum {
  seeds: number
  operations: number
  errors: number
  attaches: number
  takeOvers: number
  handoffs: number
  passed: number
  events: number
  virtualMs: number
  cpuMs: number
  faults: Record<string, number>
  steps: Record<string, StepCount>
}

export function emptySum(): Sum {
  const counts = { seeds: 0, operations: 0, errors: 0, attaches: 0, takeOvers: 0, handoffs: 0 }
  return { ...counts, passed: 0, events: 0, virtualMs: 0, cpuMs: 0, faults: {}, steps: {} }
}

export function addTo(sum: Sum, result: SeedResult): void {
  sum.seeds++
  for (const name of COUNTS) sum[name] += result[name]
  for (const [kind, count] of Object.entries(result.faults)) {
    sum.faults[kind] = (sum.faults[kind] ?? 0) + count
  }
  for (const [step, { reached, crashed }] of Object.entries(result.steps)) {
    const known = sum.steps[step] ?? { reached: 0, crashed: 0 }
    sum.steps[step] = { reached: known.reached + reached, crashed: known.crashed + crashed }
  }
}

const COUNTS = [
  'operations',
  'errors',
  'attaches',
  'takeOvers',
  'handoffs',
  'passed',
  'events',
  'virtualMs',
  'cpuMs'
] as const
