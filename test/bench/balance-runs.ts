/** Runs of the simulated mesh that balances itself, two at a time, each in a process of its own. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { BalanceOptions, BalanceResult } from '../sim/balance/run.ts'

const WORKERS = 2
/** A run that hangs is our bug; real time, generous. */
const RUN_TIMEOUT_MS = 1_800_000
/** Most of what a run allocates is garbage at once. */
const EXEC_ARGV = ['--max-semi-space-size=64']

export interface BalanceRun {
  readonly options: BalanceOptions
  readonly result: BalanceResult
}

/** In the order of `all`; the first are begun first. */
export async function runAll(
  all: readonly BalanceOptions[],
  done: (run: BalanceRun) => void
): Promise<BalanceRun[]> {
  const runs: BalanceRun[] = []
  let next = 0
  const work = async (): Promise<void> => {
    for (let at = next++; at < all.length; at = next++) {
      const options = all[at]
      if (options === undefined) return
      const run = { options, result: await runOne(options) }
      runs[at] = run
      done(run)
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, work))
  return runs
}

function runOne(options: BalanceOptions): Promise<BalanceResult> {
  const file = fileURLToPath(new URL('balance-worker.js', import.meta.url))
  const worker = fork(file, { execArgv: EXEC_ARGV })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => worker.kill('SIGKILL'), RUN_TIMEOUT_MS)
    worker.once('message', (result: BalanceResult) => {
      clearTimeout(timer)
      resolve(result)
    })
    worker.once('exit', code => {
      clearTimeout(timer)
      reject(new Error(`a run with ${options.nodes} nodes ended with ${code} and no result`))
    })
    worker.send(options)
  })
}
