/** One run of the simulated mesh that balances itself, in a process of its own: its CPU time counts. */
import { BalanceMesh, type BalanceOptions } from '../sim/balance/mesh.ts'

process.once('message', (options: BalanceOptions) => {
  const result = new BalanceMesh(options).run()
  process.send?.(result, () => process.disconnect())
})
