/** The `shoal` command as people run it: one process per command, JSON where it is asked for. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Outcome, run, type SpawnOptions } from './process-spawn.ts'

/** The repository, from test/support/ as from dist/test/support/. */
export const REPOSITORY = fileURLToPath(
  new URL(import.meta.url.includes('/dist/test/') ? '../../..' : '../..', import.meta.url)
)
/** Where the build puts programs that run as processes of their own. */
export const PROGRAMS = join(REPOSITORY, 'dist/bundle')
export const SHOAL = join(PROGRAMS, 'main.js')

/** Runs `shoal ARGS --dir DIR`; whatever comes of it. */
export function shoal(
  dir: string,
  args: readonly string[],
  options: SpawnOptions & { timeoutMs?: number } = {}
): Promise<Outcome> {
  return run(process.execPath, [SHOAL, ...args, '--dir', dir], options)
}

/** Runs `shoal ARGS --dir DIR --json`, which must succeed; what it printed, parsed. */
export async function shoalJson<T = Record<string, unknown>>(
  dir: string,
  args: readonly string[],
  options: SpawnOptions & { timeoutMs?: number } = {}
): Promise<T> {
  const outcome = await shoal(dir, [...args, '--json'], options)
  if (outcome.code !== 0) {
    throw new Error(`shoal ${args.join(' ')}: exit ${outcome.code}\n${outcome.stderr.trim()}`)
  }
  return JSON.parse(outcome.stdout) as T
}
