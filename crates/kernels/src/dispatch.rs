//! From a generic function to one that takes an [`crate::Isa`].

/// Makes `name(isa, args..)`, which runs `body::<S>(simd, args..)` compiled for that instruction set.
/// `body` must be `#[inline(always)]`.
macro_rules! dispatch {
    (fn $name:ident<$lt:lifetime>($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $crate::dispatch::dispatch!(fn $name<$lt>($($arg: $ty),*) -> () = $body);
    };
    (fn $name:ident<$lt:lifetime>($($arg:ident: $ty:ty),* $(,)?) -> $out:ty = $body:ident) => {
        fn $name<$lt>(isa: $crate::Isa, $($arg: $ty),*) -> $out {
            struct Op<$lt> {
                $($arg: $ty,)*
            }
            impl<$lt> $crate::simd::SimdOp for Op<$lt> {
                type Output = $out;
                #[inline(always)]
                fn run<S: $crate::simd::Simd>(self, simd: S) -> $out {
                    $body::<S>(simd, $(self.$arg),*)
                }
            }
            isa.run(Op { $($arg),* })
        }
    };
}

pub(crate) use dispatch;
