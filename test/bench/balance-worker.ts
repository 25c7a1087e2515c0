/** One run of the simulated mesh that balances itself, in a process of its own: its CPU time counts. */
import { type BalanceOptions, runMade } from '../sim/balance/run.ts'

process.once('message', (options: BalanceOptions) => {
  const result = runMade(options)
  process.send?.(result, () => process.disconnect())
})
