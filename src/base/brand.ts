/** A primitive that does not mix with its neighbours. The constructor of each brand is the only place with a cast. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name };
