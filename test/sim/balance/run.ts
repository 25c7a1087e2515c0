/** One run of a simulated mesh of a seed, from its first day to its last. */
import { type BalanceFigures, Tally } from './figures.ts'
import { type MadeOptions, madeScene } from './made-scene.ts'
import { BalanceMesh, type MeshOptions } from './mesh.ts'
import { STEP_MS, STEPS_PER_DAY } from './settings.ts'

export interface BalanceOptions
  extends Omit<MeshOptions, 'watch'>,
    Omit<MadeOptions, 'isForetold'> {
  readonly days: number
  /** The first day that is judged. */
  readonly judgedFrom: number
}

export interface BalanceResult {
  readonly figures: BalanceFigures
  readonly broken: readonly string[]
  readonly compared: number
  /** Of the judged days: user and system time of this process. */
  readonly cpuMs: number
}

export function runMade(options: BalanceOptions): BalanceResult {
  const { days, judgedFrom, load, nodes, mode } = options
  const tally = new Tally(nodes, days, judgedFrom)
  const mesh = new BalanceMesh(madeScene({ ...options, isForetold: mode === 'predicted' }), {
    ...options,
    watch: {
      stepped: (step, loads) => tally.step(step, loads),
      started: ({ bytes }, atMs) => tally.move(atMs, bytes)
    }
  })
  mesh.runUntil(judgedFrom * STEPS_PER_DAY * STEP_MS - 1)
  const sentBefore = mesh.sent()
  const before = process.cpuUsage()
  mesh.runUntil(days * STEPS_PER_DAY * STEP_MS - 1)
  const { user, system } = process.cpuUsage(before)
  tally.messages(mesh.sent() - sentBefore)
  const figures = tally.figures()
  if (load === 'constant') mesh.checks.rests(figures.movesByDay)
  if (load === 'repeating') mesh.checks.days(figures.movesByDay, 2)
  const broken = mesh.brokenAtEnd()
  return { figures, broken, compared: mesh.checks.compared, cpuMs: (user + system) / 1000 }
}
