/**
 * Two projects: pure and in-process tests side by side, end-to-end files one at a time (they time
 * real processes, and the machine may have two cores only).
 */
import { defineConfig } from 'vitest/config'

const root = new URL('..', import.meta.url).pathname

export default defineConfig({
  root,
  test: {
    passWithNoTests: false,
    pool: 'forks',
    projects: [
      {
        root,
        test: {
          name: 'fast',
          include: [
            'test/unit/**/*.test.ts',
            'test/property/**/*.test.ts',
            'test/sim/**/*.test.ts'
          ],
          maxWorkers: 2,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 }
        }
      },
      {
        root,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          fileParallelism: false,
          maxWorkers: 1,
          testTimeout: 180_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 }
        }
      }
    ]
  }
})
