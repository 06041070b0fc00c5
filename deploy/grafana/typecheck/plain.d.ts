import type { Dashboard } from '@grafana/schema';

/** A type as JSON has it: the members of an enumeration are their values. */
type Json<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Name in keyof T]: Json<T[Name]> }
      : T;

export type Plain = Json<Dashboard>;
